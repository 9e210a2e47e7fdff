"""Folders of pretrained models as their authors publish them: where they are, and what is in them."""
