"""What the models see: transforms, targets, and the datasets made of them, from one code for training and serving."""
