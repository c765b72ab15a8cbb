//! References to senders that do not keep the channel open.

/// Defines the `WeakSender` of a `Sender`, beside that: both are handles to the `Shared` of their channel,
/// whose `try_add_sender` counts one more sender unless the last one is gone.
macro_rules! weak_sender {
    ($(#[$doc:meta])*) => {
        $(#[$doc])*
        pub struct WeakSender<T> {
            shared: Arc<Shared<T>>,
        }

        impl<T> Sender<T> {
            /// Returns a reference that leads to a sender as long as there is one, and does not keep the
            /// channel open. [`WeakSender`] has an example.
            pub fn downgrade(&self) -> WeakSender<T> {
                WeakSender { shared: Arc::clone(&self.shared) }
            }
        }

        impl<T> WeakSender<T> {
            /// Returns a sender, unless the last one is gone.
            pub fn upgrade(&self) -> Option<Sender<T>> {
                self.shared.try_add_sender().then(|| Sender::new(Arc::clone(&self.shared)))
            }

            /// Returns true if both lead to the same channel.
            pub fn same_channel(&self, other: &WeakSender<T>) -> bool {
                Arc::ptr_eq(&self.shared, &other.shared)
            }
        }

        impl<T> Clone for WeakSender<T> {
            fn clone(&self) -> WeakSender<T> {
                WeakSender { shared: Arc::clone(&self.shared) }
            }
        }

        impl<T> fmt::Debug for WeakSender<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("WeakSender").finish_non_exhaustive()
            }
        }
    };
}

pub(super) use weak_sender;
