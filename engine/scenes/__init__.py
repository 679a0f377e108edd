"""Scenes: NeuralField-LDM (Kim et al., CVPR 2023), from posed images to generated voxel worlds. See docs/scenes.md."""
