"""What is seen: figures, the notebook panel, the napari view, widgets of chapters."""
