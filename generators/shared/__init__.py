"""What several built-in generators need; nothing here imports a library of neural networks."""
