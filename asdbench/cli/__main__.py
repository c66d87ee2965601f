"""``python -m asdbench.cli``."""

from asdbench.cli import main

if __name__ == "__main__":
    main()
