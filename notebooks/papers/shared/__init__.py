"""Code that several papers' rooms use: methods and their settings, how they were chosen, the
training of sparse networks, studies of trained ones, frozen features of images.
"""
