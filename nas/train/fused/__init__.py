"""Many perceptrons trained as one: their features stacked, their weights in one buffer, a step written by hand.

Every level of the stack is one matrix (features of all members, batch), in which a member owns consecutive rows. So
what is done element by element or feature by feature is one call for all members, whatever their widths, without any
padding; the first layer, whose input they share, is one product; and matrix products of later layers are a call each.
`torch.autograd` has no part in it: for a network of a few thousand weights it, and an optimizer that goes tensor by
tensor, take several times as long as the arithmetic.
"""
