"""What is torch and no network: the forward process, a network with its conditions bound, sampling."""
