"""What the network is conditioned on: captions of clips, and their embeddings."""
