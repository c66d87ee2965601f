"""Built-in embeddings; heavy libraries are imported inside their methods, so that plugins can be listed fast."""
