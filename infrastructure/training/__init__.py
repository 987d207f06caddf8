"""Learning that is done beforehand: the only place that may import torch."""
