"""Training: the engine and what it is made of, for pre-training, fine-tuning, probing and nearest neighbours."""
