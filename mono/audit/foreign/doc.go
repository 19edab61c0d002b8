// Package foreign verifies audit logs with programs of other authors: the client of torchwood,
// the fsck of Tessera, and the proofs of transparency-dev. It is a separate module, so that they
// never enter mono's go.mod.
package foreign
