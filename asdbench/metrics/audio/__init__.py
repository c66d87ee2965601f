"""Audio quality: how far a set of generated clips is from a set of real ones, in figures that papers report.

Each figure is a pure function of vectors (`frechet`, `kernels`, `divergence`, `inception`, `clap_score`); `quality`
makes them of two clip sets, and `folders` of two folders. Vectors come from plugins, the embeddings.
"""
