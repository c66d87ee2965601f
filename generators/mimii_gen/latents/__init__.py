"""What the network works on: the latents of a codec, normalised and laid out."""
