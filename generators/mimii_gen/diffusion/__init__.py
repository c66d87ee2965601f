"""The network, the noise that it learns to remove, and how that makes new latents."""
