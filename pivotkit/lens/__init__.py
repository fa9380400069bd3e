"""What a model's layers say: head, capture, score, trace, behavior."""
