"""The components: what each kind of node takes, gives, stores and costs. They know the IR and nothing else."""
