"""What is served, held against what came true."""
