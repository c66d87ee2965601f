"""How the network learns, exactly and resumably."""
