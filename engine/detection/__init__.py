"""Rotation-invariant detection: labels, augmentation and the Rotation Uncertainty loss of Kalra et al., ICCV 2021.

Importing this package does not import torch.
"""
