"""Built-in generator plugins; each knows only the public names of asdbench."""
