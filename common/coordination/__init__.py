"""What must be agreed on now: one tree of small nodes, in the process or in ZooKeeper."""
