"""A small codec whose latents hold what a caption determines of a sound; its fine noise is made by the decoder.

`network` codes and decodes spectrograms, `lines` their tones, `vocoder` makes sound of both; `codec` is the codec that
the generator sees, `learning` and `training` how one is trained.
"""
