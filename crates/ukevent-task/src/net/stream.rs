//! What the streams have in common, TCP's and Unix's: a [`Receiver`](super::Receiver), a
//! [`Sender`](super::Sender), and a listener that brings more of them. Written once, as macros, so that each
//! is a type of its own in the documentation.

/// A stream of this name.
macro_rules! stream {
    ($(#[$about:meta])* $stream:ident) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $stream {
            receiver: $crate::net::Receiver,
            sender: $crate::net::Sender,
        }

        impl $stream {
            /// A connection that was made elsewhere: `OwnedFd`, or one of the standard library's.
            ///
            /// # Errors
            /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system.
            ///
            /// # Panics
            /// Outside of a runtime.
            #[track_caller]
            pub fn from_socket(socket: impl Into<std::os::fd::OwnedFd>) -> std::io::Result<Self> {
                Ok(Self::of($crate::Registered::new(socket.into())?))
            }

            fn of(socket: $crate::Registered) -> Self {
                let socket = std::rc::Rc::new(socket);
                let how = $crate::net::receiver::How::Socket;
                Self {
                    receiver: $crate::net::Receiver::new(std::rc::Rc::clone(&socket), how),
                    sender: $crate::net::Sender::new(socket),
                }
            }

            /// See [`Receiver::receive`](crate::net::Receiver::receive).
            ///
            /// # Errors
            /// As it says.
            pub async fn receive(&mut self) -> std::io::Result<ukevent_buf::Buffer> {
                self.receiver.receive().await
            }

            /// See [`Receiver::poll_receive`](crate::net::Receiver::poll_receive).
            pub fn poll_receive(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<ukevent_buf::Buffer>> {
                self.receiver.poll_receive(cx)
            }

            /// See [`Sender::send`](crate::net::Sender::send).
            ///
            /// # Errors
            /// As it says.
            pub async fn send(
                &mut self,
                bytes: impl Into<ukevent_buf::Piece>,
            ) -> std::io::Result<()> {
                self.sender.send(bytes).await
            }

            /// Both halves, each to be used by itself.
            pub const fn split(&mut self) -> (&mut $crate::net::Receiver, &mut $crate::net::Sender) {
                (&mut self.receiver, &mut self.sender)
            }

            /// Both halves, for two tasks.
            #[must_use]
            pub fn into_split(self) -> ($crate::net::Receiver, $crate::net::Sender) {
                (self.receiver, self.sender)
            }

            /// The registration of the socket.
            #[must_use]
            pub fn registered(&self) -> &$crate::Registered {
                self.sender.registered()
            }
        }
    };
}

/// A listener of this name for such streams.
macro_rules! listener {
    ($(#[$about:meta])* $listener:ident: $stream:ident) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $listener {
            incoming: $crate::net::Incoming,
        }

        impl $listener {
            /// A listener that was made elsewhere.
            ///
            /// # Errors
            /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system.
            ///
            /// # Panics
            /// Outside of a runtime.
            #[track_caller]
            pub fn from_socket(socket: impl Into<std::os::fd::OwnedFd>) -> std::io::Result<Self> {
                Ok(Self::of($crate::Registered::new(socket.into())?))
            }

            fn of(socket: $crate::Registered) -> Self {
                Self { incoming: $crate::net::Incoming::new(socket) }
            }

            /// Waits for the next connection. None is lost if it is dropped.
            ///
            /// # Errors
            /// As [`Incoming::accept`](crate::net::Incoming::accept); and `OutOfMemory`, if the queue has as
            /// many registrations as it may: then this connection is closed. None of them ends the listener.
            pub async fn accept(&mut self) -> std::io::Result<$stream> {
                let socket = self.incoming.accept().await?;
                let core = std::rc::Rc::clone(self.registered().core());
                Ok($stream::of($crate::Registered::on(core, socket)?))
            }

            /// The registration of the socket.
            #[must_use]
            pub fn registered(&self) -> &$crate::Registered {
                self.incoming.registered()
            }
        }
    };
}

pub(super) use {listener, stream};
