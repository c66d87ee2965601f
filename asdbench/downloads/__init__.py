"""Public recordings brought here whole: what there is, the transfer, checksums, safe extraction, the manifest."""
