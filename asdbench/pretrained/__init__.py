"""Pretrained models for plugins: by hub id or folder, safetensors only, with errors that a user can read.

Public for plugins: `asdbench.pretrained.files` (imports nothing heavy), `hub` (transformers) and `device` (torch).
"""
