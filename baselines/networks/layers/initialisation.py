"""Initialisation of weights."""

from torch import nn


def xavier_(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases in every linear and convolutional layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def normal_(module: nn.Module, std: float) -> nn.Module:
    """Weights from N(0, `std`) and zero biases in every linear and convolutional layer, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
