"""`python -m asdbench`, which `accelerate launch -m asdbench` needs too."""

from asdbench.cli import main

if __name__ == "__main__":
    main()
