"""Built-in detector plugins; each knows only the public names of asdbench."""
