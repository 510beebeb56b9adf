//! Base images made of Debian packages: one that boots under ostree and a plain one that does not.
//! Both are tar archives in the state directory, imported into whichever engine a test uses.
