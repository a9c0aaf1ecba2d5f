TAKEN = []
for _ in range(400):
    TAKEN.append(bytearray(1 << 20))
