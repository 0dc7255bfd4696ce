"""Encoders: timm models by name, the sites inside them, how their features lie in memory, and hooks that watch them."""
