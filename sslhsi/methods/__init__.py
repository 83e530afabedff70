"""Self-supervised methods: what a batch of views is compared by."""
