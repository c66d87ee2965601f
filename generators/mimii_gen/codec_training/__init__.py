"""Training of a small EnCodec: `asdbench train codec`.

Source: A. Defossez, J. Copet, G. Synnaeve and Y. Adi, "High fidelity neural audio compression", arXiv:2210.13438.
Heavy libraries stay out of this file and of `part`, so that plugins can be listed fast.
"""
