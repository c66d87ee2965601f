"""MIMII-Gen: latent diffusion of machine sounds from captions.

Source: H. Purohit, T. Nishida, K. Dohi, T. Endo and Y. Kawaguchi, "MIMII-Gen: Generative Modeling Approach for
Simulated Evaluation of Anomalous Sound Detection System".

Heavy libraries stay out of this file and of `generator`, so that plugins can be listed fast.
"""
