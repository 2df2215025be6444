"""Steps over a stream: the only memory there is, one object a stream."""
