"""Any recordings: normal and abnormal folders, or a CSV manifest."""
