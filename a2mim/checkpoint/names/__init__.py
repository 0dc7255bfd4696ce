"""Names: how each codebase calls the layers of a network that timm has."""
