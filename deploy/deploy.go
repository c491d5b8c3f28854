// Package deploy holds what is shipped around the program: the configuration
// and the hardened unit for systemd, the parts of the Debian package, the
// container file, the alert rules and the dashboard. scripts/package builds
// them; the test here installs the package into a root of its own and starts
// what it installed, as the account it made, the way the unit would.
package deploy
