"""What happens on the way of a request: slots, connections, deadlines, retries. The only client room with aiohttp."""
