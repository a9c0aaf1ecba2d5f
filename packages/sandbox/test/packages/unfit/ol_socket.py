import socket

LEFT = socket.socket()
