"""What goes over the wire: ids and headers, operations to requests, answers to values or errors."""
