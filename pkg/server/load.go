package server

// Load is what clients make a server hold at one moment.
type Load struct {
	Connections    int
	MaxConnections int   // Options.MaxConnections, or what stands for its zero
	Refused        int64 // connections, since the start, that there was no room for
	Spooled        int64 // bytes of responses that lie in files, and are not read yet
	Holding        int   // responses that hold their worker, as the client is slow and MaxSpool is reached
	Held           int64 // such responses since the start
}

// Load tells what clients make the server hold.
func (s *Server) Load() Load {
	var load Load
	load.Connections, load.Refused = s.engine.count()
	if now := s.settings.Load(); now != nil {
		load.MaxConnections = now.most
		u := now.store.usage
		u.mu.Lock()
		defer u.mu.Unlock()
		load.Spooled, load.Holding, load.Held = u.spooled, u.holding, u.held
	}
	return load
}

// count returns how many connections there are, and how many were refused.
func (r *roster) count() (connections int, refused int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers), r.refused
}
