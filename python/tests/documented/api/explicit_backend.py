custom_backend = HTTPBackend("https://api.example.com")

@cache(backend=custom_backend)  # Uses custom backend explicitly
def my_function():
    return "result"
