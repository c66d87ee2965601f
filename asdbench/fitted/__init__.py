"""Detectors in use: fitted once, saved without pickle, loaded anywhere, scoring folders of recordings."""
