"""What another configuration of routing would have come to, on the payments of the past."""
