"""What the network is told: captions of clips, and their embeddings."""
