"""Many runs of a sweep, trained together as one batched tensor program."""
