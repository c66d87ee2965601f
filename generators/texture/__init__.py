"""Texture: statistical synthesis of machine sounds in closed form, without a neural network.

The level of every band is drawn from a linear model of the caption's words, tones are added where a spectrum has peaks,
and what comes and goes is drawn from a Markov chain of states; all else is Gaussian noise.

Heavy libraries stay out of this file and of `generator`, so that plugins can be listed fast.
"""
