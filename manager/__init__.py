"""The front desk, which takes jobs in, and the leader, which gives them to nodes."""
