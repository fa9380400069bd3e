"""Where model and corpus meet: attribution, continued pre-training, testbed."""
