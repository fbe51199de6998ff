package bucket

// Without makes s take the server for one that lacks these abilities.
func (s *Store) Without(checksums, conditions bool) {
	s.can.checksums = s.can.checksums && !checksums
	s.can.conditions = s.can.conditions && !conditions
}

// Can tells what the server was found to be able to.
func (s *Store) Can() (checksums, conditions bool) { return s.can.checksums, s.can.conditions }
